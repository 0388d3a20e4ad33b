"""What ``codetrove index`` has done so far, and how it is told at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode
from indexing.cli.index_summary import summary_json, summary_lines
from indexing.cli.progress_view import vector_figures
from indexing.cli.terminal import say, say_json, say_result

if TYPE_CHECKING:
    from indexing.cli.index_summary import JobSummary, VectorSummary
    from indexing.metrics import Metrics


@dataclass(slots=True)
class IndexOutcome:
    """What a command has done so far."""

    messages: list[str] = field(default_factory=list)
    jobs: list[JobSummary] = field(default_factory=list)
    vectors: VectorSummary | None = None
    metrics: Metrics | None = None
    """of the owner, where this process was it"""
    trouble: bool = False
    """A repository that was to come back could not be indexed, or vectors are missing."""

    def tell(self, message: str) -> None:
        """Tell the user now, and again in the JSON."""
        self.messages.append(message)
        say(f"codetrove: {message}")

    @property
    def code(self) -> ExitCode:
        """The exit code of the command."""
        done = all(job.state == "succeeded" for job in self.jobs)
        return ExitCode.OK if done and not self.trouble else ExitCode.FINDINGS

    def show(self, *, as_json: bool, verbose: bool) -> None:
        """Print everything; ``verbose`` lists every failed file."""
        if as_json:
            say_json(summary_json(self.jobs, self.messages, self.vectors, self.metrics))
            return
        for job in self.jobs:
            for line in summary_lines(job, every_failure=verbose):
                say_result(line)
        if self.vectors is not None:
            say_result(f"  vectors of {self.vectors.model}: {vector_figures(self.vectors.progress)}")
