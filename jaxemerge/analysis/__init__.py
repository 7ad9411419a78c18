"""From results to summaries: what do populations look like, and how do they move with scale?

    results = je.train(experiment).frame()     # or read_results("runs.csv", ...)
    summarise(results, threshold=0.9)          # P(success), means and modes per cell and test, with intervals

Frames in, frames (or records of frames) out. A frame of results has one row per seed, step, split and metric
(`jaxemerge.runner.table.SCHEMA`). Scores are shares in [0, 1], losses nats per token, scale is the column
that `scale_column` finds; intervals are 95 % over seeds. The statistics are those of `jaxemerge.stats`.

Results and what they are about:

    read_results                             results of other programs under their own column names
    final, final_scores                      the rows at each member's last step; of one metric, labelled
    main_metric, is_share, never_right       which metric is it about, and does that say anything?
    cell_labels, scale_column, scale_title   cells in the order of scale, with names for charts
    forms_a_curve                            whether a line may join them
    metric_means, rescore                    means of every metric; items scored anew under another

One population:

    summarise                                the four summaries of every cell and test
    final_values, Values                     means of metrics without bounds
    histogram, density                       the shape of its scores, for charts
    mixtures, Mixtures                       lumps and atoms behind it
    side_by_side, SideBySide                 the same for scores and losses of the same seeds
    two_sided                                where seeds end on both sides
    correlations, variance_shares            between abilities; due to init or data seed

Along training:

    learning_curves, curve_quantiles         seeds one by one, and their quantiles
    representative_curves                    a few seeds, evenly spaced by rank
    breakthroughs, survival, Survival        when each seed breaks through; Kaplan-Meier curves

Against scale:

    success_fit, SuccessFit                  fitted P(success) and mean of successes
    success_by_threshold                     P(success) for every definition of success
    two_sided_scale, distances               where scores turn two-sided; how far cells are apart
    rank_curves                              curves of single seeds, most like a jump or a line
    emergence, Emergence                     from chance to above it, by the definition of Wei et al.

What the metric does:

    emergence_scores                         of every task, metric and family
    per_token, induced                       exact match from tokens; the same outputs made sharper
    resolution, smaller_tests                what the test's size hides

Laws:

    scaling_laws, ScalingLaws, has_laws      of the loss, all that the runs allow
    law_runs, loss_metric                    which runs and which loss they are fitted to
    task_scaling, PassScaling                of pass rates, and what they foretell
    has_task_scaling                         whether there are scales enough
"""

from .breakthroughs import Survival as Survival
from .breakthroughs import breakthroughs as breakthroughs
from .breakthroughs import survival as survival
from .curves import curve_quantiles as curve_quantiles
from .curves import learning_curves as learning_curves
from .curves import representative_curves as representative_curves
from .density import density as density
from .distance import distances as distances
from .distance import two_sided_scale as two_sided_scale
from .emergence import Emergence as Emergence
from .emergence import emergence as emergence
from .emergence_scores import emergence_scores as emergence_scores
from .final import final as final
from .final import final_scores as final_scores
from .histogram import histogram as histogram
from .induced import induced as induced
from .labels import cell_labels as cell_labels
from .labels import forms_a_curve as forms_a_curve
from .labels import scale_column as scale_column
from .labels import scale_title as scale_title
from .laws import ScalingLaws as ScalingLaws
from .laws import has_laws as has_laws
from .laws import law_runs as law_runs
from .laws import loss_metric as loss_metric
from .laws import scaling_laws as scaling_laws
from .metric_means import metric_means as metric_means
from .metrics import is_share as is_share
from .metrics import main_metric as main_metric
from .metrics import never_right as never_right
from .mixture import Mixtures as Mixtures
from .mixture import mixtures as mixtures
from .null import SideBySide as SideBySide
from .null import side_by_side as side_by_side
from .origin import correlations as correlations
from .origin import variance_shares as variance_shares
from .per_token import per_token as per_token
from .rank import rank_curves as rank_curves
from .read import read_results as read_results
from .rescore import rescore as rescore
from .resolution import resolution as resolution
from .resolution import smaller_tests as smaller_tests
from .success import SuccessFit as SuccessFit
from .success import success_fit as success_fit
from .summary import summarise as summarise
from .task_scaling import PassScaling as PassScaling
from .task_scaling import has_task_scaling as has_task_scaling
from .task_scaling import task_scaling as task_scaling
from .threshold import success_by_threshold as success_by_threshold
from .two_sided import two_sided as two_sided
from .values import Values as Values
from .values import final_values as final_values
