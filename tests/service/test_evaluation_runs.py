import asyncio
import tempfile

import pytest

from service.children.evaluation_runs import PREFIX, EvaluationRuns, EvaluationsBusy, NotEvaluable

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return EvaluationRuns(at_once=1, waiting=1, memory=2**31)


async def test_one_more_than_may_wait_is_refused_and_let_in_once_one_has_left(runs):
    with runs.admitted():
        with runs.admitted(), pytest.raises(EvaluationsBusy), runs.admitted():
            pass
        with runs.admitted():
            pass


async def test_turns_are_taken_one_after_the_other(runs):
    inside = []

    async def take(name):
        async with runs.turn() as folder:
            inside.append(name)
            assert len(inside) == 1
            assert folder.is_dir()
            assert folder.stat().st_mode & 0o777 == 0o700
            await asyncio.sleep(0.01)
            inside.remove(name)
        return folder

    folders = await asyncio.gather(*map(take, range(3)))

    assert len(set(folders)) == 3
    assert not any(folder.exists() for folder in folders)


async def test_a_turn_that_is_cancelled_leaves_no_folder(runs, tmp_path):
    inside = asyncio.Event()

    async def take():
        async with runs.turn():
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(take())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with runs.turn():
        pass
    await asyncio.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


async def test_folders_of_the_dead_are_removed_and_those_in_use_are_not(runs, tmp_path):
    forsaken = tmp_path / f"{PREFIX}dead"
    forsaken.mkdir()
    (forsaken / "in-use").touch()
    (forsaken / "samples.npz").touch()
    (tmp_path / "somebody-else's").mkdir()

    async with runs.turn() as held:
        EvaluationRuns(at_once=1, waiting=1, memory=2**31)

        assert held.is_dir()
        assert not forsaken.exists()
        assert (tmp_path / "somebody-else's").exists()


async def test_what_cannot_be_evaluated_is_told_in_the_evaluations_words(runs):
    async with runs.turn() as folder:
        (folder / "request.json").write_text("{}")

        with pytest.raises(NotEvaluable):
            await runs.run(folder)
