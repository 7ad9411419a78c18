"""Members of a population as files for others: written with all that must be known of them, and read back."""

from .folder import export as export
from .folder import write_members as write_members
from .trained import Trained as Trained
from .trained import load as load
