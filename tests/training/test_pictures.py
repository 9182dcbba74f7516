import io

from PIL import Image

from models_store.bundle import open_bundle
from tests.bundles import make_bundle
from tests.drawings import draw
from training.pictures import side_by_side, verdict


def test_a_picture_beside_itself_is_the_same_at_the_strictest_rate(tmp_path):
    comparator = open_bundle(make_bundle(tmp_path))
    content = draw(3)

    score, picture = side_by_side(comparator, content, content)

    assert score > 0.9
    assert "0.01 of impostor" in verdict(comparator, score)
    width, height = Image.open(io.BytesIO(picture)).size
    assert width > height > 200


def test_a_score_below_every_threshold_is_said_to_be_of_two(tmp_path):
    comparator = open_bundle(make_bundle(tmp_path))

    assert verdict(comparator, 0.59) == "different, even where 0.1 of impostor pairs may pass"
    assert verdict(comparator, 0.6) == "same, where 0.1 of impostor pairs may pass"
