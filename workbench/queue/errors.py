"""What can go wrong with a queue, addressed to the user."""

from __future__ import annotations

from workbench.errors import WorkbenchError


class QueueError(WorkbenchError):
    """A submission or an order to the queue cannot be carried out: nothing to submit, too many jobs, an unknown job."""

    code = "WB601"


class JobError(WorkbenchError):
    """A job cannot be read or run: damaged by hand, of an unknown kind, its command failed, its worker died too often."""

    code = "WB602"
