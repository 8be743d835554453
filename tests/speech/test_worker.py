import asyncio
import os
import signal
import sys

import numpy as np
import pytest
import soundfile

from twimlrunner.engine.ports import Speech
from twimlrunner.speech import process
from twimlrunner.speech.frames import chunk_to_json
from twimlrunner.speech.plan import make_plan
from twimlrunner.speech.ports import PromptError

pytestmark = pytest.mark.integration


def tone(text="Hello there.", voice="tone"):
    return Speech(text, voice, "")


async def files(service, speech):
    return [path async for path in service.speak(speech)]


def samples(path):
    found, rate = soundfile.read(path, dtype="float32")
    info = soundfile.info(path)
    assert (rate, info.channels, info.subtype, info.format) == (8000, 1, "PCM_16", "WAV")
    return found


def frequency(found):
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    return np.argmax(spectrum) * 8000 / len(found)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_hello_is_heard_and_the_second_time_comes_from_the_cache(service, monkeypatch):
    speech = Speech("Hello", "woman", "en-US")
    (path,) = await files(service, speech)
    found = samples(path)
    peak = 20 * np.log10(np.abs(found).max())
    assert -3 < peak < -1
    assert 0.2 < len(found) / 8000 < 2

    async def never(request, timeout):
        raise AssertionError("the worker was asked")

    monkeypatch.setattr(service._process, "ask", never)
    assert await files(service, speech) == [path]


async def test_a_long_text_begins_before_its_end_is_made(service):
    text = " ".join(f"This is sentence number {n} of many." for n in range(40))
    speech = tone(text, voice="slow")
    plan = make_plan(speech, service._voices)
    stream = service.speak(speech)
    first = await anext(stream)
    assert os.path.exists(first)
    assert service._speech.find(plan.chunks[-1].key) is None
    rest = [path async for path in stream]
    assert [first, *rest] == [service._speech.path(chunk.key) for chunk in plan.chunks]
    assert len(rest) == 39


async def test_a_sites_engine_is_resampled_and_levelled(service):
    (path,) = await files(service, tone())
    found = samples(path)
    assert frequency(found) == pytest.approx(600, abs=5)
    assert np.abs(found).max() == pytest.approx(10 ** (-2 / 20), abs=0.02)


async def test_pauses_and_volume_are_rendered(service):
    markup = "one<break time='500ms'/><prosody volume='-6dB'>two</prosody>"
    first, second = await files(service, Speech("", "tone", "", markup))
    assert not samples(first)[-4000:].any()
    assert np.abs(samples(second)).max() == pytest.approx(10 ** (-8 / 20), abs=0.02)


async def test_the_male_voice_is_lower(service):
    (woman,) = await files(service, Speech("Mamma", "woman", ""))
    (man,) = await files(service, Speech("Mamma", "man", ""))

    def pitch(path):
        found = samples(path)
        middle = found[len(found) // 3 : len(found) // 3 + 1024]
        correlation = np.correlate(middle, middle, "full")[1023:]
        return 8000 / (27 + np.argmax(correlation[27:115]))

    assert pitch(man) < 0.95 * pitch(woman)


async def test_the_same_text_at_once_is_made_once(service, monkeypatch):
    asked = []
    ask = service._process.ask

    async def counting(request, timeout):
        asked.append(request["op"])
        return await ask(request, timeout)

    monkeypatch.setattr(service._process, "ask", counting)
    results = await asyncio.gather(*(files(service, tone()) for _ in range(5)))
    assert asked == ["speak"]
    assert len({path for (path,) in results}) == 1


async def test_an_asker_who_leaves_does_not_take_the_others_prompt(service):
    speech = tone()
    gone = asyncio.create_task(files(service, speech))
    stays = asyncio.create_task(files(service, speech))
    await asyncio.sleep(0)
    gone.cancel()
    assert len(await stays) == 1
    assert gone.cancelled()


async def test_a_killed_worker_is_replaced_and_the_request_repeated(service):
    await files(service, tone("Warm."))
    before = service.worker_pid
    os.kill(before, signal.SIGSTOP)
    pending = asyncio.create_task(files(service, tone("Pending.")))
    await until(lambda: service._process._replies)
    os.kill(before, signal.SIGKILL)
    assert len(await pending) == 1
    assert service.worker_pid not in {None, before}


async def test_a_text_that_kills_the_worker_twice_fails(service):
    with pytest.raises(PromptError) as caught:
        await files(service, tone(voice="crash"))
    assert caught.value.code == 12400
    assert len(await files(service, tone())) == 1


async def test_a_broken_engine_fails_its_own_prompt_only(service):
    with pytest.raises(PromptError) as caught:
        await files(service, tone(voice="broken"))
    assert caught.value.code == 12400
    assert "no such luck" not in caught.value.message
    assert len(await files(service, tone())) == 1


async def test_text_that_an_engine_cannot_read_is_an_empty_file(service):
    (path,) = await files(service, tone(voice="mute"))
    assert len(samples(path)) == 0


async def test_a_hung_worker_is_killed_after_the_timeout(make_service):
    service = make_service(speech_timeout=0.3)
    await service.start()
    await until(lambda: service.worker_pid)
    hung = service.worker_pid
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(PromptError, match=r"within 0\.3 s"):
        await files(service, tone())
    await until(lambda: service.worker_pid not in {None, hung})
    await service.stop()


async def test_too_many_prompts_at_once_are_refused(make_service):
    service = make_service(max_queue=1)
    await service.start()
    first = asyncio.create_task(files(service, tone("One.")))
    await asyncio.sleep(0)
    with pytest.raises(PromptError, match="too many"):
        await files(service, tone("Two."))
    assert len(await first) == 1
    await service.stop()


async def test_without_a_worker_requests_fail_soon(make_service, monkeypatch):
    monkeypatch.setattr(process, "READY_SECONDS", 0.1)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    service = make_service()
    await service.start()
    with pytest.raises(PromptError, match="no prompt worker"):
        await files(service, tone())
    await service.stop()


async def test_stopping_ends_the_worker_and_what_waits(make_service):
    service = make_service()
    await service.start()
    await until(lambda: service.worker_pid)
    pid = service.worker_pid
    pending = asyncio.create_task(files(service, tone()))
    await asyncio.sleep(0)
    await service.stop()
    with pytest.raises(PromptError, match="not running"):
        await pending
    assert not os.path.exists(f"/proc/{pid}")
    await service.stop()


async def test_the_worker_sees_no_secrets(make_service, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setenv("ACME_KEY", "for the engine")
    service = make_service(environment=("ACME_KEY",))
    await service.start()
    await until(lambda: service.worker_pid)
    with open(f"/proc/{service.worker_pid}/environ", "rb") as stream:
        environment = stream.read()
    assert b"hunter2" not in environment
    assert b"for the engine" in environment
    await service.stop()


async def test_first_sentences_go_first_and_short_ones_before_long(make_service):
    service = make_service(threads=1)
    await service.start()
    await files(service, tone("Warm."))
    order = []

    async def ask(index, text):
        (chunk,) = make_plan(tone(text), service._voices).chunks
        await service._process.ask(
            {"op": "speak", "chunk": chunk_to_json(chunk), "index": index}, 10
        )
        order.append(text)

    os.kill(service.worker_pid, signal.SIGSTOP)
    asking = [
        asyncio.create_task(ask(index, text))
        for index, text in ((2, "Later."), (0, "Long, " * 10), (0, "Short."))
    ]
    await until(lambda: len(service._process._replies) == 3)
    os.kill(service.worker_pid, signal.SIGCONT)
    await asyncio.gather(*asking)
    assert order == ["Short.", "Long, " * 10, "Later."]
    await service.stop()


def test_issues_are_pairs_of_code_and_message(make_service):
    ((code, message),) = make_service().issues(Speech("Hi", "nobody", ""))
    assert code == 13511
    assert "nobody" in message
