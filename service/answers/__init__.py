"""Bodies that go out: each is made of what a use case found."""

from service.answers.checkup import GalleryHealth
from service.answers.comparing import ClusterAnswer, EmbedAnswer, VerifyAnswer
from service.answers.deciding import DecisionAnswer, IdentifyAnswer
from service.answers.editing import EditAnswer, EditsAnswer, SimilarAnswer
from service.answers.evaluation import EvaluateAnswer
from service.answers.feedback import FeedbackAnswer, RejectionsAnswer
from service.answers.galleries import (
    CohortAnswer,
    EnrollAnswer,
    Forgotten,
    GalleriesAnswer,
    GalleryAnswer,
    GalleryDeleted,
    IdentitiesAnswer,
    IdentityAnswer,
    ReceiptAnswer,
)
from service.answers.mapping import MapAnswer
from service.answers.migrating import MigrationAnswer
from service.answers.operating import BoundaryAnswer, OperatingCurveAnswer
from service.answers.serving import (
    About,
    Alive,
    ComparatorAnswer,
    ComparatorDetail,
    ComparatorsAnswer,
    Readiness,
)

__all__ = [
    "About",
    "Alive",
    "BoundaryAnswer",
    "ClusterAnswer",
    "CohortAnswer",
    "ComparatorAnswer",
    "ComparatorDetail",
    "ComparatorsAnswer",
    "DecisionAnswer",
    "EditAnswer",
    "EditsAnswer",
    "EmbedAnswer",
    "EnrollAnswer",
    "EvaluateAnswer",
    "FeedbackAnswer",
    "Forgotten",
    "GalleriesAnswer",
    "GalleryAnswer",
    "GalleryDeleted",
    "GalleryHealth",
    "IdentifyAnswer",
    "IdentitiesAnswer",
    "IdentityAnswer",
    "MapAnswer",
    "MigrationAnswer",
    "OperatingCurveAnswer",
    "Readiness",
    "ReceiptAnswer",
    "RejectionsAnswer",
    "SimilarAnswer",
    "VerifyAnswer",
]
