"""Pictures of populations: a frame of results in, an Altair chart out."""

from .curves import learning_curves as learning_curves
from .distance import distance_map as distance_map
from .histograms import histogram_grid as histogram_grid
from .laws import exponent_intervals as exponent_intervals
from .laws import isoflop_profiles as isoflop_profiles
from .laws import ladder_steps as ladder_steps
from .laws import loss_contours as loss_contours
from .laws import predicted_against_held_out as predicted_against_held_out
from .laws import training_envelope as training_envelope
from .metrics import metric_panel as metric_panel
from .mixture import mixture_grid as mixture_grid
from .null import null_grid as null_grid
from .origin import correlation_maps as correlation_maps
from .origin import variance_shares as variance_shares
from .pass_rates import growth_classes as growth_classes
from .pass_rates import instance_grid as instance_grid
from .pass_rates import rate_against_loss as rate_against_loss
from .pass_rates import task_scaling as task_scaling
from .rank import rank_curves as rank_curves
from .resolution import resolution_panel as resolution_panel
from .scale import success_against_scale as success_against_scale
from .success import success_curve as success_curve
from .survival import survival_curves as survival_curves
from .threshold import success_by_threshold as success_by_threshold
from .values import values_against_scale as values_against_scale
from .violins import violins as violins
