"""Statistics of populations of runs: arrays in, frozen records out. Usable without the rest of jaxemerge.

    seeds = fit_mixture([0, 0, 0.02, 0.04, 0.71, 0.78, 0.80, 0.85], trials=100)
    seeds.bimodal, seeds.success.value, seeds.success.interval   # two sides? P(success) without a threshold
    curve = fit_success_curve(scale=[1, 2, 4, 8], successes=[0, 2, 9, 15], trials=[16, 16, 16, 16])
    curve.midpoint.value                                         # the scale at which half succeed

Scores [S] are one number per seed, shares in [0, 1] where nothing else is said; scale is any positive measure
of size; losses are in nats per token, N are parameters, D tokens, C = 6 N D FLOPs. Seeds are resampled,
NaN is a diverged seed. What is fitted is an `Estimate`: a value with its interval.

    Estimate, Interval                                      a number and how sure it is
    bootstrap, resample_indices, percentile_interval        any statistic's interval over seeds
    generator                                               the random numbers behind it

One population:

    summaries, Summaries                                    P(success), mean, mean of successes, mode
    success_interval                                        Wilson's interval of a share
    half_sample_mode                                        the mode of scores
    fit_mixture, Mixture                                    lumps and atoms; is it two-sided?
    dip_test, DipTest                                       more than one mode? Aware of counts
    ashman_d, bimodality_coefficient                        how far two lumps are apart
    threshold_scan, ThresholdScan                           P(success) for every definition of success
    correlation, Correlation                                between abilities, over seeds
    split_variance, VarianceSplit                           init seed, data seed, or the two together

Two and more populations:

    wasserstein, wasserstein_matrix, wasserstein_test       how far apart, and is it chance?
    trend_test, TrendTest, PermutationTest                  does an outcome move with scale?
    onset, two_sided_onset, two_sidedness, Onset            from which scale on?
    breakthroughness, linearity, emergence_score            does a curve jump?

Success against scale:

    fit_success_curve, SuccessCurve                         P(success), logistic with lapses
    isotonic_success, IsotonicSuccess                       P(success), no shape assumed
    step_test, StepTest                                     a step, or a slope?
    fit_success_mean, SuccessMean                           the mean of the successes
    fit_score_distribution, ScoreDistribution               both together

Time of breakthrough, in steps:

    breakthrough_time, BreakthroughTimes                    when a seed's score has come to stay
    kaplan_meier, SurvivalCurve                             the share without one, against time
    log_rank_test, LogRankTest                              the same rate in all groups?
    fit_hazard, HazardRegression                            how much sooner at larger scale?

Pass rates:

    pass_rate, PassRate                                     from samples until r pass, unbiased
    fit_task_scaling, TaskScaling, Growth                   P = exp(-c N^-alpha); straight, convex, concave?
    fit_growth_models, GrowthModels                         three shapes compared
    predict_from_loss, LossPrediction                       rates of hard items, by their answer's loss

Laws of the loss:

    fit_power_law, PowerLaw                                 against one scale
    fit_broken_power_law, BrokenPowerLaw                    with breaks
    fit_chinchilla, ParametricLoss                          against N and D (Hoffmann's third approach)
    fit_kaplan, KaplanLoss                                  against N and D (Kaplan et al.)
    fit_envelope, Envelope, TrainingCurve                   Hoffmann's first approach, from training curves
    fit_isoflop, IsoFlop                                    the second, from budgets
    ComputeOptimal, Allocation                              the best N and D for given C, by any of them
    likelihood_ratio_test, LikelihoodRatioTest              is an exponent what somebody says?
    rolling_origin, RollingOrigin                           would the small have foretold the large?
    fit_loss_quantiles, LossQuantiles                       of quantiles over seeds
    compare_exponents, ExponentRow                          exponents beside those in print
    PUBLISHED, PublishedExponents                           those in print
    fit_sigmoid, AccuracyLink, fit_ladder, Ladder           from loss to accuracy; from N and D to it
"""

from .answer_loss import LossPrediction as LossPrediction
from .answer_loss import predict_from_loss as predict_from_loss
from .bootstrap import bootstrap as bootstrap
from .bootstrap import generator as generator
from .bootstrap import percentile_interval as percentile_interval
from .bootstrap import resample_indices as resample_indices
from .broken_power_law import BrokenPowerLaw as BrokenPowerLaw
from .broken_power_law import fit_broken_power_law as fit_broken_power_law
from .chinchilla import ParametricLoss as ParametricLoss
from .chinchilla import fit_chinchilla as fit_chinchilla
from .correlation import Correlation as Correlation
from .correlation import correlation as correlation
from .distance import wasserstein as wasserstein
from .distance import wasserstein_matrix as wasserstein_matrix
from .distance import wasserstein_test as wasserstein_test
from .emergence import breakthroughness as breakthroughness
from .emergence import emergence_score as emergence_score
from .emergence import linearity as linearity
from .envelope import Envelope as Envelope
from .envelope import TrainingCurve as TrainingCurve
from .envelope import fit_envelope as fit_envelope
from .frontier import Allocation as Allocation
from .frontier import ComputeOptimal as ComputeOptimal
from .growth_class import Growth as Growth
from .growth_models import GrowthModels as GrowthModels
from .growth_models import fit_growth_models as fit_growth_models
from .hazard import HazardRegression as HazardRegression
from .hazard import fit_hazard as fit_hazard
from .interval import Estimate as Estimate
from .interval import Interval as Interval
from .isoflop import IsoFlop as IsoFlop
from .isoflop import fit_isoflop as fit_isoflop
from .isotonic import IsotonicSuccess as IsotonicSuccess
from .isotonic import isotonic_success as isotonic_success
from .kaplan import KaplanLoss as KaplanLoss
from .kaplan import fit_kaplan as fit_kaplan
from .ladder import Ladder as Ladder
from .ladder import fit_ladder as fit_ladder
from .law_test import LikelihoodRatioTest as LikelihoodRatioTest
from .law_test import likelihood_ratio_test as likelihood_ratio_test
from .link import AccuracyLink as AccuracyLink
from .link import fit_sigmoid as fit_sigmoid
from .mixture import Mixture as Mixture
from .mixture import fit_mixture as fit_mixture
from .modality import DipTest as DipTest
from .modality import ashman_d as ashman_d
from .modality import bimodality_coefficient as bimodality_coefficient
from .modality import dip_test as dip_test
from .mode import half_sample_mode as half_sample_mode
from .onset import Onset as Onset
from .onset import onset as onset
from .onset import two_sided_onset as two_sided_onset
from .onset import two_sidedness as two_sidedness
from .pass_rate import PassRate as PassRate
from .pass_rate import pass_rate as pass_rate
from .permutation import PermutationTest as PermutationTest
from .power_law import PowerLaw as PowerLaw
from .power_law import fit_power_law as fit_power_law
from .proportion import success_interval as success_interval
from .published import PUBLISHED as PUBLISHED
from .published import ExponentRow as ExponentRow
from .published import PublishedExponents as PublishedExponents
from .published import compare_exponents as compare_exponents
from .rolling import RollingOrigin as RollingOrigin
from .rolling import rolling_origin as rolling_origin
from .scale_distribution import LossQuantiles as LossQuantiles
from .scale_distribution import ScoreDistribution as ScoreDistribution
from .scale_distribution import fit_loss_quantiles as fit_loss_quantiles
from .scale_distribution import fit_score_distribution as fit_score_distribution
from .step_test import StepTest as StepTest
from .step_test import step_test as step_test
from .success_curve import SuccessCurve as SuccessCurve
from .success_curve import fit_success_curve as fit_success_curve
from .success_mean import SuccessMean as SuccessMean
from .success_mean import fit_success_mean as fit_success_mean
from .summaries import Summaries as Summaries
from .summaries import summaries as summaries
from .survival import BreakthroughTimes as BreakthroughTimes
from .survival import LogRankTest as LogRankTest
from .survival import SurvivalCurve as SurvivalCurve
from .survival import breakthrough_time as breakthrough_time
from .survival import kaplan_meier as kaplan_meier
from .survival import log_rank_test as log_rank_test
from .task_scaling import TaskScaling as TaskScaling
from .task_scaling import fit_task_scaling as fit_task_scaling
from .threshold_scan import ThresholdScan as ThresholdScan
from .threshold_scan import threshold_scan as threshold_scan
from .trend import TrendTest as TrendTest
from .trend import trend_test as trend_test
from .variance import VarianceSplit as VarianceSplit
from .variance import split_variance as split_variance
