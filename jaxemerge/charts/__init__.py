"""Pictures of populations: a frame of results in, an Altair chart out.

    chart = violins(results)
    chart.save("violins.html")   # or .png, .svg

Frames have the columns of the results schema, one row per seed, step, split and metric
(`jaxemerge.runner.table`); some charts take what `jaxemerge.analysis` has on the same subject. Scores are
shares in [0, 1], losses nats per token, intervals 95 % over seeds.

Scores over seeds:

    violins, histogram_grid                 their distribution by cell and test
    mixture_grid, null_grid                 with fitted lumps and atoms; beside the losses of the same seeds
    learning_curves, survival_curves        along training; the share that has not broken through
    distance_map, correlation_maps          between cells; between abilities over seeds
    crossed_scores, variance_shares         init seed against data seed, and what each explains

Against scale:

    success_against_scale                   the four summaries
    success_curve, success_chance           fitted P(success) and mean of successes; the first alone
    success_by_threshold                    for every definition of success
    means_by_family, values_against_scale   means of scores by family; of metrics without bounds
    depth_and_width                         grids of two measures of scale
    rank_curves                             curves of single seeds, most like a jump and most like a line

What the metric does:

    metric_panel                            the same cells under every metric
    per_token_models, induced_versions      exact match from tokens; sharper and sharper versions
    resolution_panel                        what the size of the test hides

Laws of pass rates:

    task_scaling, growth_classes            a fitted curve; how far each one bends
    instance_grid, rate_against_loss        item by item; rates foretold from the answer's loss

Laws of the loss:

    training_envelope, isoflop_profiles     Hoffmann's first and second approach
    loss_contours                           the third, with the efficient frontier
    exponent_intervals                      exponents found, and those in print
    ladder_steps                            from loss to accuracy
    predicted_against_held_out              the larger runs as foretold by the smaller
"""

from .curves import learning_curves as learning_curves
from .distance import distance_map as distance_map
from .families import means_by_family as means_by_family
from .grid import depth_and_width as depth_and_width
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
from .origin import crossed_scores as crossed_scores
from .origin import variance_shares as variance_shares
from .pass_rates import growth_classes as growth_classes
from .pass_rates import instance_grid as instance_grid
from .pass_rates import rate_against_loss as rate_against_loss
from .pass_rates import task_scaling as task_scaling
from .per_token import induced_versions as induced_versions
from .per_token import per_token_models as per_token_models
from .rank import rank_curves as rank_curves
from .resolution import resolution_panel as resolution_panel
from .scale import success_against_scale as success_against_scale
from .success import success_chance as success_chance
from .success import success_curve as success_curve
from .survival import survival_curves as survival_curves
from .threshold import success_by_threshold as success_by_threshold
from .values import values_against_scale as values_against_scale
from .violins import violins as violins
