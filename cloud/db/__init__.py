"""The cloud's index: tables, migrations, engine.

Three words to learn: a *generation* is one manifest's worth of new instances of one study; a *conflict* is an
instance that was announced but not taken over, kept in sight; a *parked* message is one that could not be read.
"""

# METADATA is whole only with both.
from cloud.db import models as models
from cloud.db import pipeline as pipeline
