"""How well does a population know its task?"""

from .edit_distance import edit_distance as edit_distance
from .forced import ItemScores as ItemScores
from .forced import SetScores as SetScores
from .forced import Sheet as Sheet
from .forced import item_scores as item_scores
from .forced import scores as scores
from .forced import sheet as sheet
from .generate import Written as Written
from .generate import generate as generate
from .items import Evaluated as Evaluated
from .items import evaluate as evaluate
from .metrics import METRICS as METRICS
from .metrics import Guess as Guess
from .metrics import Items as Items
from .metrics import Metric as Metric
from .metrics import all_of as all_of
from .metrics import thresholded as thresholded
from .pass_until import PassCounts as PassCounts
from .pass_until import estimate as estimate
from .passes import Passed as Passed
from .passes import PassUntil as PassUntil
from .passes import sampled as sampled
from .prompts import Prompts as Prompts
from .prompts import prompts as prompts
from .sampling import GREEDY as GREEDY
from .sampling import Sampling as Sampling
