"""How well does a population know its task?"""

from .forced import ItemScores as ItemScores
from .forced import SetScores as SetScores
from .forced import Sheet as Sheet
from .forced import item_scores as item_scores
from .forced import scores as scores
from .forced import sheet as sheet
