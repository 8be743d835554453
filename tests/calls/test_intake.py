"""Row by row: the table of sip-domain.md section 4 as far as it is decided before the webhook."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sipserver.calls import manager
from sipserver.calls.admission import IncomingRates, SpentNonces
from sipserver.sip import auth
from sipserver.sip.events import MessageTraced, RequestRefused
from tests.fakes.calls import OFFER, POLICY, REALM, World, incoming

CREDENTIALS = replace(POLICY, has_acl=False, acl_networks=(), has_credentials=True)
BOTH = replace(POLICY, has_credentials=True)


async def refused(world: World, **invite: Any) -> World:
    world.events(incoming(**invite))
    await world.ended()
    return world


@pytest.mark.parametrize(
    ("policy", "invite", "status", "cause", "code"),
    [
        (POLICY, {"uri": "sip:1@other.example.net"}, "404", "unknown-domain", 32200),
        (
            replace(POLICY, has_acl=False, acl_networks=()),
            {}, "403", "no-auth-mapped", 32200,
        ),
        (POLICY, {"source": "198.51.100.7"}, "403", "source-not-allowed", 32201),
        (replace(POLICY, account_active=False), {}, "403", "account-inactive", 10003),
        (replace(POLICY, secure=True), {}, "403", "tls-required", 32209),
        (
            POLICY,
            {"body": OFFER.replace("RTP/AVP", "RTP/SAVP")},
            "488", "srtp-refused", 32207,
        ),
        (POLICY, {"body": OFFER.replace("0 8 101", "18")}, "488", "no-common-codec", 32102),
        (POLICY, {"body": "this is no SDP"}, "400", "bad-sdp", 32102),
    ],
)  # fmt: skip
async def test_refusals(
    policy: Any, invite: dict[str, Any], status: str, cause: str, code: int
) -> None:
    world = await refused(World(policy), **invite)
    assert world.ladder == [status, f"closed failed {cause}"]
    names = dict(world.sip.headers[status])
    assert names["X-Twilio-Error"].startswith(f"{code} ")
    assert names["Warning"].startswith("399 ")
    assert world.log.closed.error_code == code
    assert world.log.notified() == [code]


@pytest.mark.parametrize(
    ("status", "reason", "cause", "code"),
    [
        (483, "Too Many Hops", "hops-exhausted", 32006),
        (420, "Bad Extension", "protocol", 32011),
        (400, "Malformed", "protocol", 32011),
        (503, "Service Unavailable", "overloaded", 59911),
    ],
)
async def test_what_the_engine_refuses_is_in_the_log_too(
    status: int, reason: str, cause: str, code: int
) -> None:
    world = World()
    invite = incoming()
    world.events(RequestRefused(invite.request, invite.flow, status, reason))
    assert world.ladder == [f"closed failed {cause}"]
    assert world.log.closed.sip_status == status
    assert reason in world.log.closed.reason
    assert world.log.notified() == [code]


async def test_unlisted_source_may_be_dropped_in_silence() -> None:
    world = await refused(World(replace(POLICY, drop_unlisted=True)), source="198.51.100.7")
    assert world.ladder == ["drop", "closed failed source-not-allowed"]


async def test_directory_down_is_503() -> None:
    world = World()
    world.directory.down = True
    await refused(world)
    assert world.ladder == ["503", "closed failed database-unavailable"]


async def test_a_fault_of_ours_is_500(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def broken(name: str) -> None:
        raise NameError(name)

    monkeypatch.setattr(world.directory, "domain", broken)
    await refused(world)
    assert world.ladder == ["500", "closed failed internal-error"]


async def test_domain_concurrency_limit() -> None:
    world = World(replace(POLICY, max_concurrent_calls=1))
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    world.events(incoming(usage=2, call_id="call-2"))
    await world.ended()
    assert world.ladder[-2:] == ["503", "closed failed concurrency-limit"]


PER_SECOND = {"max_incoming_per_second": 1}


@pytest.mark.parametrize("limit", [PER_SECOND, {"account_max_incoming_per_second": 1}])
async def test_calls_beyond_the_limit_per_second_are_refused(limit: dict[str, int]) -> None:
    world = World(replace(POLICY, **limit))
    world.document("<Response><Hangup/></Response>")
    world.events(incoming())
    await world.ladder_has("fetch voice")
    world.events(incoming(usage=2, call_id="call-2"))
    await world.ladder_has("closed failed cps-limit")
    names = dict(world.sip.headers["503"])
    assert names["Retry-After"] == "1"
    assert names["X-Twilio-Error"].startswith("32013 ")
    assert names["Warning"].startswith("399 ")
    assert world.log.notified() == [32013]
    world.clock.now += 1.0
    world.events(incoming(usage=3, call_id="call-3"))
    await world.until(lambda: world.ladder.count("fetch voice") == 2)


async def test_who_does_not_authenticate_uses_up_nothing_of_the_calls_per_second() -> None:
    world = World(replace(BOTH, **PER_SECOND))
    world.directory.users["alice"] = "Correct9HorseX"
    wrong = authorization(await challenge(world), "alice", "Wrong9HorseXX")
    world.events(incoming(usage=2, headers=[wrong]))
    world.events(incoming(usage=3, call_id="call-3", source="198.51.100.7"))
    await world.until(lambda: world.ladder.count("403") == 2)
    world.ladder.clear()
    right = authorization(await challenge(world, usage=4), "alice", "Correct9HorseX")
    world.events(incoming(usage=5, headers=[right]))
    await world.ladder_has("180")


async def test_a_call_that_the_concurrency_limit_refuses_uses_up_no_second() -> None:
    world = World(replace(POLICY, max_concurrent_calls=1, **PER_SECOND))
    world.manager.claim(POLICY.domain_sid)
    await refused(world)
    assert world.ladder[-1] == "closed failed concurrency-limit"
    world.manager.release(POLICY.domain_sid)
    world.events(incoming(usage=2, call_id="call-2"))
    await world.ladder_has("180")


# (when, limits of the domain and of the account, which of them refuses)
@pytest.mark.parametrize(
    "course",
    [
        pytest.param([(0.0, 0, 0, "")] * 50, id="no limit"),
        pytest.param([(0.0, 1, 0, ""), (0.0, 1, 0, "D"), (0.9, 1, 0, "D"), (1.0, 1, 0, "")],
                     id="one per second"),
        pytest.param([(5.0, 3, 0, "")] * 3 + [(5.0, 3, 0, "D"), (5.4, 3, 0, ""), (5.5, 3, 0, "D")],
                     id="as many as the limit come at once"),
        pytest.param([(0.0, 2, 0, "")] * 2 + [(900.0, 2, 0, "")] * 2 + [(900.0, 2, 0, "D")],
                     id="a long pause saves up no more than the limit"),
        pytest.param([(0.0, 0, 1, ""), (0.0, 0, 1, "A"), (0.0, 5, 1, "A")], id="of the account"),
        pytest.param([(0.0, 2, 1, ""), (0.0, 2, 1, "A"), (1.0, 2, 1, ""), (1.0, 2, 0, "")],
                     id="who is refused by one is counted by none"),
        pytest.param([(0.0, 10, 0, ""), (0.0, 1, 0, ""), (0.0, 1, 0, "D")],
                     id="a limit that is lowered holds at once"),
        pytest.param([(0.0, 1, 0, ""), (0.0, 0, 0, ""), (0.0, 1, 0, "")],
                     id="a limit that was lifted begins anew"),
    ],
)  # fmt: skip
def test_the_bucket_of_calls_per_second(course: list[tuple[float, int, int, str]]) -> None:
    rates = IncomingRates()
    found = [rates.spend((("D", domain), ("A", account)), at) for at, domain, account, _ in course]
    assert [spent[0] if spent else "" for spent in found] == [refuses for *_, refuses in course]


async def challenge(world: World, usage: int = 1, **invite: Any) -> str:
    world.events(incoming(usage=usage, **invite))
    await world.ladder_has("407")
    values = [value for name, value in world.sip.headers["407"] if name == "Proxy-Authenticate"]
    return next(value for value in values if "MD5" in value)


def authorization(challenge: str, user: str, password: str) -> str:
    answer = auth.answer_challenge(
        challenge,
        username=user,
        password=password,
        method="INVITE",
        uri="sip:100@pbx.example.net",
        nonce_count=1,
        cnonce="0a4f113b",
    )
    return f"Proxy-Authorization: {answer}"


async def test_right_password_is_accepted_and_named() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), "alice", "Correct9HorseX")
    world.events(incoming(usage=2, headers=[header]))
    await world.ladder_has("fetch voice")
    assert world.ladder[:4] == ["407", "row", "180", "fetch voice"]
    assert world.webhooks.requests[0][2]["SipUsername"] == "alice"


async def test_both_algorithms_are_offered() -> None:
    world = World(CREDENTIALS)
    await challenge(world)
    values = [value for name, value in world.sip.headers["407"] if name == "Proxy-Authenticate"]
    assert ["SHA-256" in value for value in values] == [False, True]
    assert all(f'realm="{REALM}"' in value for value in values)


async def test_phones_that_fail_on_other_algorithms_are_offered_md5_only() -> None:
    world = World(CREDENTIALS)
    await challenge(world, headers=["User-Agent: baresip v1.0.0 (x86_64/linux)"])
    [value] = [value for name, value in world.sip.headers["407"] if name == "Proxy-Authenticate"]
    assert "algorithm=MD5" in value


async def test_an_algorithm_that_is_not_offered_is_not_accepted() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), "alice", "Correct9HorseX")
    strict = replace(world.settings.intake, digest_algorithms=("SHA-256",))
    other = World(CREDENTIALS, intake=strict)
    other.directory.users["alice"] = "Correct9HorseX"
    other.events(incoming(headers=[header]))
    await other.ladder_has("407")
    assert other.ladder == ["407"]


@pytest.mark.parametrize("user", ["alice", "nobody"])
async def test_wrong_password_and_unknown_user_look_the_same(user: str) -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), user, "Wrong9HorseXX")
    world.events(incoming(usage=2, headers=[header]))
    await world.ended()
    assert world.ladder == ["407", "403", "closed failed bad-credentials"]
    assert world.log.notified() == [32202]


async def test_expired_nonce_is_challenged_again_as_stale() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), "alice", "Correct9HorseX")
    world.clock.now += 31
    world.events(incoming(usage=2, headers=[header]))
    await world.until(lambda: world.ladder == ["407", "407"])
    assert all("stale=true" in value for name, value in world.sip.headers["407"])


async def test_a_nonce_lets_one_call_in() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), "alice", "Correct9HorseX")
    world.events(incoming(usage=2, headers=[header]))
    await world.ladder_has("180")
    world.ladder.clear()
    world.events(incoming(usage=3, headers=[header]))  # sniffed and sent again
    await world.ladder_has("407")
    assert "180" not in world.ladder
    assert all("stale=true" in value for name, value in world.sip.headers["407"])


def test_spent_nonces_are_forgotten_after_their_lifetime() -> None:
    spent = SpentNonces(60.0)
    assert spent.spend("a", 100.0)
    assert not spent.spend("a", 159.0)
    assert not spent.spend("a", 161.0)
    assert spent.spend("a", 300.0)
    assert spent.spend("b", 400.0)
    assert spent.spend("a", 500.0)


async def test_nonce_of_another_call_is_worth_nothing() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world), "alice", "Correct9HorseX")
    world.events(incoming(usage=2, call_id="other", headers=[header]))
    await world.until(lambda: world.ladder == ["407", "407"])
    assert not any("stale=true" in value for name, value in world.sip.headers["407"])


async def test_access_list_and_credentials_are_both_enforced() -> None:
    world = World(BOTH)
    world.directory.users["alice"] = "Correct9HorseX"
    await refused(world, source="198.51.100.7")
    assert world.ladder == ["403", "closed failed source-not-allowed"]
    world.ladder.clear()
    await challenge(world, usage=2, call_id="call-2")
    assert world.ladder == ["407"]


async def test_from_user_must_match_when_the_domain_wants_it() -> None:
    world = World(replace(CREDENTIALS, match_from_user=True))
    world.directory.users["alice"] = "Correct9HorseX"
    header = authorization(await challenge(world, user="bob"), "alice", "Correct9HorseX")
    world.events(incoming(usage=2, user="bob", headers=[header]))
    await world.ended()
    assert world.ladder[-1] == "closed failed user-mismatch"


async def test_the_challenge_belongs_to_the_ladder_of_the_call() -> None:
    world = World(CREDENTIALS)
    world.directory.users["alice"] = "Correct9HorseX"
    first = incoming()
    world.events(first, MessageTraced(1, False, b"INVITE sip:x SIP/2.0\r\n\r\n", first.flow))
    await world.ladder_has("407")
    [value] = [v for n, v in world.sip.headers["407"] if "MD5" in v]
    second = incoming(usage=2, headers=[authorization(value, "alice", "Correct9HorseX")])
    world.events(second, MessageTraced(2, False, b"INVITE sip:y SIP/2.0\r\n\r\n", second.flow))
    await world.ladder_has("fetch voice")
    texts = [event.data["text"] for event in world.log.events("sip")]
    assert texts == ["INVITE sip:x SIP/2.0\r\n\r\n", "INVITE sip:y SIP/2.0\r\n\r\n"]


async def test_a_phone_without_a_password_leaves_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "CHALLENGE_SECONDS", 0.01)
    world = World(CREDENTIALS)
    first = incoming()
    world.events(first, MessageTraced(1, False, b"INVITE sip:x SIP/2.0\r\n\r\n", first.flow))
    await world.ended()
    assert world.ladder == ["407", "closed failed challenge-unanswered"]
    assert world.log.closed.sip_status == 407
    assert len(world.log.events("sip")) == 1


async def test_refused_calls_of_one_source_do_not_flood_the_log() -> None:
    world = World()
    for number in range(40):
        world.events(incoming(usage=number, call_id=f"c{number}", source="198.51.100.7"))
    await world.until(lambda: world.ladder.count("403") == 40)
    rows = [step for step in world.ladder if step.startswith("closed")]
    assert len(rows) == 20
    assert world.manager.refusals.suppressed == 20


async def test_a_phone_that_never_answers_its_challenges_keeps_few_messages() -> None:
    world = World(CREDENTIALS)
    for usage in range(1, 60):
        invite = incoming(usage=usage)
        text = b"INVITE sip:%d SIP/2.0\r\n\r\n" % usage
        world.events(invite, MessageTraced(usage, False, text, invite.flow))
        await world.until(lambda: world.ladder.count("407") == usage)  # noqa: B023 - awaited here
    [(_, session)] = world.manager._challenges.values()
    kept = session.early_messages()
    assert len(kept) <= 21
    assert kept[-1].data["summary"] == "INVITE"
    assert "sip:59" in kept[-1].data["text"]


async def test_calls_that_come_at_once_do_not_slip_past_the_limit() -> None:
    world = World(replace(POLICY, max_concurrent_calls=1))
    world.webhooks.hold.add("http://app.example.net/voice")
    world.events(*(incoming(usage=n, call_id=f"call-{n}") for n in range(1, 6)))
    await world.until(lambda: world.ladder.count("503") == 4)
    await world.ladder_has("fetch voice")
    assert world.ladder.count("180") == 1
    assert world.manager.live[POLICY.domain_sid] == 1


async def test_a_row_that_cannot_be_written_takes_no_place() -> None:
    world = World(replace(POLICY, max_concurrent_calls=1))
    world.log.unavailable = True
    await refused(world)
    assert world.manager.live == {}


async def test_strangers_do_not_learn_that_a_domain_is_full() -> None:
    world = World(replace(CREDENTIALS, max_concurrent_calls=1))
    world.manager.claim(POLICY.domain_sid)
    await challenge(world)
    assert world.ladder == ["407"]


async def test_refused_calls_of_ever_new_sources_do_not_flood_the_log_either() -> None:
    world = World()
    for number in range(1500):
        source = f"198.51.{number // 250}.{number % 250}"
        world.events(incoming(usage=number, call_id=f"c{number}", source=source))
    await world.until(lambda: world.ladder.count("403") == 1500)
    assert len([step for step in world.ladder if step.startswith("closed")]) == 1000
    assert world.manager.refusals.suppressed == 500


async def test_calls_that_are_over_do_not_count_as_load() -> None:
    world = World()
    for number in range(5):
        world.events(incoming(usage=number, call_id=f"c{number}", source="198.51.100.7"))
    await world.until(lambda: world.ladder.count("403") == 5)
    assert world.manager.load().calls == 0


async def test_the_warning_names_an_ipv6_address_in_brackets() -> None:
    world = World()
    invite = incoming(source="2001:db8::7")
    flow = invite.flow._replace(local=("2001:db8::1", 5060))
    world.events(replace(invite, flow=flow))
    await world.ended()
    assert dict(world.sip.headers["403"])["Warning"].startswith("399 [2001:db8::1] ")
