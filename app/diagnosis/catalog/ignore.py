"""CS805: an ignore entry that no longer matches; `app.diagnosis.ignore_file` reports it."""

from __future__ import annotations

from app.diagnosis.catalog.code import Code
from app.model.finding import Severity

CODES: tuple[Code, ...] = (
    Code(
        code="CS805",
        title="An entry of the ignore file has expired",
        severities=(Severity.WARN,),
        meaning="""\
Somebody decided to live with a finding until a certain day, and that day is over. The entry ignores
nothing any more: what it covered is shown again if it is still there.
""",
        check="""\
The entry's place, its reason and its `expires` stand in the evidence. Run the check once with
`--no-ignore-file` to see all that the file hides.
""",
        fix="""\
Remove the entry if its finding is gone. Otherwise repair what it covers, or decide anew and set a
later day:

```yaml
- code: CS216
  subject: CiliumLoadBalancerIPPool bgp-ingress
  reason: two addresses on purpose
  expires: 2027-06-30
```
""",
        source="`ciliscope-ignore.yaml`, `docs/check.md`",
    ),
)
