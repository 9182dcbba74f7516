import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from evaluation.engine import evaluate
from evaluation.page import page
from evaluation.samples import Served, labelled
from tests.evaluation.embedded import named, noise, perfect, two_sides

HOSTILE = '<script>alert("x")</script>$\\frac{&\x00\x1b\u202e}'
VOID = {"meta", "br", "img"}


class Reader(HTMLParser):
    """Reads a page as a browser does, and keeps what tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        assert not [k for k, _ in attributes if k.startswith("on")]

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def png(_):
    content = io.BytesIO()
    Image.new("L", (8, 8), 99).save(content, "png")
    return content.getvalue()


def hostile(embedded):
    served = Served(HOSTILE, "cosine", lambda d: 1 - d / 2, np.empty((0, 8), np.float32))
    name = [f"{HOSTILE}{label}" for label in embedded.labels]
    return labelled(
        *(embedded.embeddings, name, served),
        groups=[f"{HOSTILE}{group}" for group in embedded.groups],
        names=name,
        title=HOSTILE,
        picture=png,
    )


@pytest.fixture(scope="module")
def written():
    return page(evaluate(hostile(noise(30, 4))))


def test_what_users_named_is_shown_and_never_run(written):
    read = Reader(written)

    assert "script" not in read.tags
    assert not read.open
    assert any('<script>alert("x")</script>' in words for words in read.words)
    assert not re.search("[\x00\x1b\u202e]", written)


def test_the_page_needs_nothing_from_anywhere(written):
    read = Reader(written)

    assert read.links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in read.links)
    assert not re.search(r"@import|url\((?!#)", written)


def test_every_picture_has_ids_of_its_own(written):
    ids = re.findall(r'\bid="([^"]+)"', written)

    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", written)) <= set(ids)


def test_plots_of_everything_that_was_measured_are_there(written):
    read = Reader(written)

    assert read.tags.count("svg") >= 7
    for words in ("DET", "ROC", "Scores of all pairs", "Likeliest mistakes", "Clustering"):
        assert any(words in each for each in read.words)


def test_the_same_report_is_the_same_page():
    samples = hostile(noise(8, 3))

    assert page(evaluate(samples)) == page(evaluate(samples))


def test_too_few_to_say_is_shown_as_that():
    served = Served("x", "cosine", lambda d: 1 - d, np.empty((0, 3), np.float32))
    three = perfect(3, 5)

    written = page(evaluate(labelled(three.embeddings, three.labels, served)))

    assert written.count("too few to say") > 10
    assert "3 identities" in written


def test_the_page_of_two_encoders_tells_of_both_directions_and_of_what_is_absent():
    report = evaluate(named(two_sides(60, 2, 3)))
    written = page(report)
    read = Reader(written)
    ids = re.findall(r'\bid="([^"]+)"', written)

    assert not read.open
    assert len(ids) == len(set(ids))
    for words in ("Retrieval", "asked by side a", "asked by side b", "linkage, side b"):
        assert any(words in each for each in read.words), words
    for reason in report.absent.values():
        assert any(reason in each for each in read.words)


def test_the_page_of_one_encoder_has_no_retrieval(written):
    assert not any("Retrieval" in each for each in Reader(written).words)
