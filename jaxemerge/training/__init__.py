"""How is one seed trained, and how are hundreds at once? One program per device, seeds along its first axis.

`jaxemerge.train(experiment)` is the way in; what follows is for those who write their own loop:

    plan = make_plan(experiment, n_seeds=16)     # how many at once, on which devices, side by side or in turn
    built = program(experiment, plan.layout)
    for snapshot in train_population(built, experiment.members, experiment.evaluation_steps):
        ...                                      # after every dispatch of some steps

S seeds are the leading axis of every array. Losses are in nats per weighted token, lengths in steps. A seed's
numbers depend neither on its neighbours nor on its chunk.

Who is trained, on what, and how:

    paired, crossed, check_seeds, members, Members    seeds; with their hyperparameters as arrays [S]
    Seed, seed_pairs                                  a pair (init_seed, data_seed); such pairs of integers
    Recipe                                            task, model, optimizer, steps: what one program trains
    AdamW, Adam, SGD, Lion, Muon                      optimizers, with their schedules
    Optax, Optimizer, Scheduled                       an optimizer of your own: from optax, or a class
    Objective, pair, check_objective                  what is minimised, where that is no task and model
    cost_of, init_shapes, objective_of                FLOPs, bytes; shapes of the weights; what is minimised
    check_numbers                                     refuses numbers that 32 bits cannot hold

Training:

    train_population           trains a chunk of seeds, dispatch by dispatch
    Snapshot, ResumeState      a population after a dispatch; all that training needs to resume there
    program, Program           the compiled functions behind it
    fixed_part                 what cells share that can be trained by one program
    TrainState                 what is carried from step to step
    StepInfo, DispatchInfo     what was seen on the way: losses, gradient norms, divergence

Plans:

    make_plan, Plan                 how many seeds at once, and how; by formula or a search
    fitted_plan, resumed_plan       for the seeds that are left; as the finished seeds were trained
    smaller_plan, is_out_of_memory  what to do where memory has run out, and whether it has
"""

from .objective import Objective as Objective
from .objective import check_objective as check_objective
from .objective import pair as pair
from .optimizer import SGD as SGD
from .optimizer import Adam as Adam
from .optimizer import AdamW as AdamW
from .optimizer import Lion as Lion
from .optimizer import Muon as Muon
from .optimizer import Optimizer as Optimizer
from .optimizer import Scheduled as Scheduled
from .own_optimizer import Optax as Optax
from .plan import Plan as Plan
from .plan import fitted_plan as fitted_plan
from .plan import is_out_of_memory as is_out_of_memory
from .plan import make_plan as make_plan
from .plan import resumed_plan as resumed_plan
from .plan import smaller_plan as smaller_plan
from .population import DispatchInfo as DispatchInfo
from .population import Program as Program
from .population import ResumeState as ResumeState
from .population import Snapshot as Snapshot
from .population import program as program
from .population import train_population as train_population
from .recipe import Recipe as Recipe
from .recipe import check_numbers as check_numbers
from .recipe import cost_of as cost_of
from .recipe import fixed_part as fixed_part
from .recipe import init_shapes as init_shapes
from .recipe import objective_of as objective_of
from .step import Members as Members
from .step import Seed as Seed
from .step import StepInfo as StepInfo
from .step import TrainState as TrainState
from .step import check_seeds as check_seeds
from .step import crossed as crossed
from .step import members as members
from .step import paired as paired
from .step import seed_pairs as seed_pairs
