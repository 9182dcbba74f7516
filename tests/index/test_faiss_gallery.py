"""What the in-process engine does beyond the contract of all galleries."""

import threading

import faiss
import numpy as np
import pytest

from index import Reference, faiss_gallery
from index.faiss_gallery import FEW, FaissGallery


@pytest.mark.parametrize(("probes", "threads"), [(1, 1), (FEW - 1, 1), (FEW, 3)])
def test_few_probes_are_searched_for_on_one_thread_and_the_caller_keeps_its_own(
    monkeypatch, probes, threads
):
    """Another would wait for them by spinning."""
    seen, knn = [], faiss.knn

    def watched(*asked):
        seen.append(faiss.omp_get_max_threads())
        return knn(*asked)

    monkeypatch.setattr(faiss_gallery.faiss, "knn", watched)
    gallery, rng = FaissGallery(8, "l2"), np.random.default_rng(0)
    gallery.add([Reference(i, "a") for i in range(200)], rng.random((200, 8), np.float32))

    def search():
        faiss.omp_set_num_threads(3)
        gallery.search(rng.random((probes, 8), np.float32), 2)
        seen.append(faiss.omp_get_max_threads())

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()

    assert set(seen[:-1]) == {threads}
    assert seen[-1] == 3
