"""The networks that a recipe can name, and how large each is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A table of a recipe: it has no keys but these."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResidualNetwork(Part):
    """Of images: a stem of stride 2, then one residual block that halves the picture per width.

    Embeddings have norm 1, unless they are not to be `normalised`; for l1 and l2 only.
    """

    kind: Literal["residual"] = "residual"
    stem: Count
    widths: tuple[Count, ...]
    dimension: Count
    dropout: Share = 0.0
    normalised: bool = True


class TextNetwork(Part):
    """Of text: embedded tokens, `layers` that look at the two neighbours, a weighted mean.

    `vocabulary` is how many tokens the tokenizer has, at most.
    """

    kind: Literal["text-conv"] = "text-conv"
    vocabulary: Annotated[int, Field(gt=256)]
    width: Count
    layers: Annotated[int, Field(ge=0)] = 1
    dimension: Count
    dropout: Share = 0.0


class BertLstmNetwork(Part):
    """Of text: a checkpoint's token states, frozen or `tuned`, an LSTM both ways, their mean.

    `checkpoint` is a folder as `python -m training import-text` takes it; unsaid, the packaged.
    """

    kind: Literal["bert-lstm"] = "bert-lstm"
    checkpoint: Path | None = None
    tuned: bool = False
    hidden: Count
    dimension: Count


class LogMel(Part):
    """Frames of `window` seconds every `hop`, their power in so many bands up to `highest` Hz."""

    bands: Count = 64
    window: float = 0.025
    hop: float = 0.01
    lowest: float = 60.0
    highest: float = 7600.0


class TdnnNetwork(Part):
    """Of sound: log-mel frames, a residual block per dilation, attentive-statistics pooling."""

    kind: Literal["tdnn"] = "tdnn"
    frames: LogMel = LogMel()
    width: Count = 128
    dilations: tuple[Count, ...] = (1, 2, 3)
    joined: Count = 256
    attention: Count = 64
    dimension: Count
    dropout: Share = 0.0


class CnnLstmNetwork(Part):
    """Of sound: log-mel frames, a convolution of stride 2 per width, an LSTM."""

    kind: Literal["cnn-lstm"] = "cnn-lstm"
    frames: LogMel = LogMel()
    widths: tuple[Count, ...] = (128, 128)
    hidden: Count = 128
    dimension: Count


class RawWaveNetwork(Part):
    """Of sound: convolutions on the waveform, the first of a `stride`, pooled by four each."""

    kind: Literal["raw-wave"] = "raw-wave"
    widths: tuple[Count, ...] = (64, 128, 128, 128)
    stride: Count = 4
    dimension: Count


class WordsNetwork(Part):
    """Of text: fixed vectors of words, their mean, and a small net on it with a `hidden` layer.

    `vectors` is the folder that `python -m training words` wrote.
    """

    kind: Literal["words"] = "words"
    vectors: Path
    hidden: Count
    dimension: Count
    dropout: Share = 0.0


SoundNetwork = TdnnNetwork | CnnLstmNetwork | RawWaveNetwork

Network = Annotated[
    ResidualNetwork | TextNetwork | BertLstmNetwork | WordsNetwork | SoundNetwork,
    Field(discriminator="kind"),
]
"""What embeds, by its kind."""
