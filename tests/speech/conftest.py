import pytest

from twimlrunner.speech.client import PromptService
from twimlrunner.speech.config import PromptConfig, SiteEngine


def _site(name):
    return SiteEngine(f"tests.speech.engines:{name.title()}", "1", voices={name: name})


@pytest.fixture
def make_service(tmp_path):
    def make(**settings):
        engines = {name: _site(name) for name in ("tone", "slow", "crash", "broken", "mute")}
        return PromptService(
            PromptConfig(folder=str(tmp_path / "cache"), site_engines=engines, **settings)
        )

    return make


@pytest.fixture
async def service(make_service):
    service = make_service()
    await service.start()
    yield service
    await service.stop()
