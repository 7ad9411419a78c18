"""How one seed is trained, and how hundreds are at once."""

from .optimizer import AdamW as AdamW
from .plan import Plan as Plan
from .plan import fitted_plan as fitted_plan
from .plan import is_out_of_memory as is_out_of_memory
from .plan import make_plan as make_plan
from .plan import resumed_plan as resumed_plan
from .plan import smaller_plan as smaller_plan
from .population import DispatchInfo as DispatchInfo
from .population import Paused as Paused
from .population import Program as Program
from .population import Snapshot as Snapshot
from .population import fixed_part as fixed_part
from .population import program as program
from .population import train_population as train_population
from .state import Members as Members
from .state import Seed as Seed
from .state import TrainState as TrainState
from .state import check_seeds as check_seeds
from .state import crossed as crossed
from .state import members as members
from .state import paired as paired
from .step import StepInfo as StepInfo
