"""The errors of the whole program, named by who must act.

    BursaError
      Reject   this record is unusable   -> counted, its bytes quarantined, the stream goes on
      Retry    the outside is away       -> back off, then the same call again; positions are held
      Refuse   the caller may not        -> a 4xx with a stable code, or a start that stops

Anything else that is raised is a bug and stops its task, loudly.
"""


class BursaError(Exception):
    """The base of the three kinds; never raised itself."""


class Reject(BursaError):
    """One record is unusable. `reason` is a short stable word, `detail` says what and where."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Retry(BursaError):
    """The outside is away; call again after `after_s` seconds.

    public  what strangers are told of it, where `why` names machines or users; else as `why`
    """

    def __init__(self, why: str, after_s: float = 1.0, public: str = "") -> None:
        super().__init__(why)
        self.after_s = after_s
        self.public = public or why


class Refuse(BursaError):
    """The caller asked for what cannot be had.

    code       stable word for programs: `unknown_ticker`
    status     HTTP status of the answer: 400 bad input, 404 unknown, 403 not allowed, 503 not ready
    parameter  name of the offending parameter or dotted configuration path, if there is one
    """

    def __init__(
        self, message: str, code: str = "bad_request", status: int = 400, parameter: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.parameter = parameter
