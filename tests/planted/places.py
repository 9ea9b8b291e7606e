"""Where the planted bugs go, below `src/reelstore`, and where the tests are that must notice."""

from __future__ import annotations

NAMES = "tests/protocol/test_names.py"
UPLOADS = "tests/protocol/test_uploads.py"
COLLECTING = "tests/protocol/test_collecting.py"
SYNCED = "tests/protocol/test_synced.py"
MISSES = "tests/protocol/test_misses.py"
REPAIR = "tests/protocol/test_repair.py"
DURABILITY = "tests/integration/test_directory_durability.py"
DOWNLOADS = "tests/unit/web/test_content.py"

WRITING = "chunkstore/writing.py"
COMMITTING = "chunkstore/committing.py"
PLACING = "chunkstore/placing.py"
FETCHING = "chunkstore/fetching.py"
TOPOLOGY = "chunkstore/topology.py"
REBALANCE = "services/rebalance.py"
SURVEY = "services/survey.py"
EPOCHS = "services/epochs.py"
REPAIRER = "services/repair.py"
VIDEOS = "services/videos.py"
ROUNDS = "services/delete_rounds.py"
