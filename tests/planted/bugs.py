"""All bugs that are planted: each rule of the storage protocol taken out of the real code, and what the model lacks.

The rules follow the table in `tests/model/README.md`; each row of it that one unchanging ring or a newly added server
can show is here.
"""

from __future__ import annotations

from tests.planted.bug import Bug
from tests.planted.changes import CHANGES_OF_TOPOLOGY
from tests.planted.leaving import LEAVING
from tests.planted.promises import PROMISES
from tests.planted.rules_1_to_5 import RULES_1_TO_5
from tests.planted.rules_6_to_12 import RULES_6_TO_12
from tests.planted.workers import OF_WORKERS

BUGS: tuple[Bug, ...] = (*RULES_1_TO_5, *RULES_6_TO_12, *CHANGES_OF_TOPOLOGY, *LEAVING, *OF_WORKERS, *PROMISES)
