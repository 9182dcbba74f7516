"""What a start waits for goes on while the rest of the service is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.begun import Begun
from service.settings import Settings
from service.store.embedded_redis import DataDirInUse, EmbeddedRedis
from tests.bundles import make_bundle

pytestmark = pytest.mark.anyio

HEAVY = ("fastapi", "uvicorn", "redis", "faiss", "prometheus_client", "scipy.special")


def settings_in(folder: Path) -> Settings:
    make_bundle(folder / "bundles")
    return Settings(data_dir=folder / "var", models_store=folder / "bundles")


async def test_bundles_are_tried_and_the_store_started_before_anybody_asks(tmp_path: Path) -> None:
    with Begun(settings_in(tmp_path)) as begun:
        found = begun.bundles.result(60)
        assert begun.store is not None
        await begun.store.start()
        running = await begun.store.ensure_running() is False

    assert list(found.bundles) == ["tiny/1"]
    assert found.tried
    assert running


async def test_a_store_that_nobody_took_over_is_ended(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with pytest.raises(ZeroDivisionError), Begun(settings):
        raise ZeroDivisionError

    async with EmbeddedRedis(settings.data_dir):
        pass


async def test_a_folder_in_use_is_told_at_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with EmbeddedRedis(settings.data_dir):
        with pytest.raises(DataDirInUse):
            Begun(settings)


def test_another_store_is_left_to_who_runs_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundles")
    elsewhere = Settings(
        data_dir=tmp_path / "var", models_store=tmp_path / "bundles", redis_url="redis://elsewhere"
    )

    with Begun(elsewhere) as begun:
        assert begun.store is None


@pytest.mark.parametrize("module", ["service.__main__", "models_store.trial"])
def test_what_is_begun_first_imports_little(module: str) -> None:
    code = f"import sys, {module}; print(*[each for each in {HEAVY} if each in sys.modules])"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.split() == []
