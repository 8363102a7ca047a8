"""Search over hyper-parameters: grid, random and TPE, early ends for hopeless trials, many processes."""

from xpnn.search.results import Results, TrialResult
from xpnn.search.search import Search
from xpnn.search.space import Choice, Int, LogUniform, Space, Uniform, space_of
from xpnn.search.trial import Pruned, ReportToTrial, Trial

__all__ = [
    "Choice",
    "Int",
    "LogUniform",
    "Pruned",
    "ReportToTrial",
    "Results",
    "Search",
    "Space",
    "Trial",
    "TrialResult",
    "Uniform",
    "space_of",
]
