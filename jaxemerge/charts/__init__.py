"""Pictures of populations: a frame of results in, an Altair chart out.

    chart = violins(results)
    chart.save("violins.html")   # or .png, .svg

Frames have the columns of the results schema, one row per seed, step, split and metric
(`jaxemerge.schema`); some charts take what the module of the same name in `jaxemerge.analysis` returns.
Scores are shares in [0, 1], losses are in nats per token, intervals are 95 % over seeds.

    distribution    violins and histograms of scores, final values of other metrics
    mixtures        fitted components over the histograms, scores and losses side by side
    single_seeds    correlations over seeds, init seed against data seed, curves of single seeds
    scale           success and its quality against scale, thresholds, distances
    grids           two families against scale, two settings of a grid
    training        learning curves, share of seeds without breakthrough
    metrics         the same cells under every metric, per-token model, resolution of a test
    passes          pass rates with the task scaling law, growth classes, rates against loss
    distribution_law  parts of the law of scores against scale, predicted histograms
    laws            envelope, IsoFLOP profiles, loss contours, exponents, accuracy from loss
    trends          law of one scale
    design          power against the number of seeds
    seeds           how one seed is named, and marked in all charts of a page
    theme           colours, sizes and axes that all charts share
"""

from .design import power_against_seeds as power_against_seeds
from .distribution import histogram_grid as histogram_grid
from .distribution import values_against_scale as values_against_scale
from .distribution import violins as violins
from .distribution_law import law_curves as law_curves
from .distribution_law import predicted_histograms as predicted_histograms
from .grids import depth_and_width as depth_and_width
from .grids import means_by_family as means_by_family
from .grids import success_by_setting as success_by_setting
from .laws import exponent_intervals as exponent_intervals
from .laws import isoflop_profiles as isoflop_profiles
from .laws import ladder_steps as ladder_steps
from .laws import loss_contours as loss_contours
from .laws import predicted_against_held_out as predicted_against_held_out
from .laws import training_envelope as training_envelope
from .metrics import induced_versions as induced_versions
from .metrics import metric_panel as metric_panel
from .metrics import per_token_models as per_token_models
from .metrics import resolution_panel as resolution_panel
from .mixtures import loss_comparison as loss_comparison
from .mixtures import mixture_grid as mixture_grid
from .passes import growth_classes as growth_classes
from .passes import instance_grid as instance_grid
from .passes import rate_against_loss as rate_against_loss
from .passes import task_scaling as task_scaling
from .scale import distance_map as distance_map
from .scale import success_against_scale as success_against_scale
from .scale import success_by_threshold as success_by_threshold
from .scale import success_chance as success_chance
from .scale import success_curve as success_curve
from .single_seeds import correlation_maps as correlation_maps
from .single_seeds import crossed_scores as crossed_scores
from .single_seeds import rank_curves as rank_curves
from .single_seeds import variance_shares as variance_shares
from .training import learning_curves as learning_curves
from .training import survival_curves as survival_curves
from .trends import one_scale as one_scale
