"""Statistics of populations of runs: arrays in, frozen records out. Usable without the rest of jaxemerge."""

from .bootstrap import bootstrap as bootstrap
from .bootstrap import generator as generator
from .bootstrap import percentile_interval as percentile_interval
from .bootstrap import resample_indices as resample_indices
from .distance import wasserstein as wasserstein
from .distance import wasserstein_matrix as wasserstein_matrix
from .distance import wasserstein_test as wasserstein_test
from .emergence import breakthroughness as breakthroughness
from .emergence import emergence_score as emergence_score
from .emergence import linearity as linearity
from .interval import Estimate as Estimate
from .interval import Interval as Interval
from .mode import half_sample_mode as half_sample_mode
from .onset import Onset as Onset
from .onset import onset as onset
from .onset import two_sided_onset as two_sided_onset
from .onset import two_sidedness as two_sidedness
from .permutation import PermutationTest as PermutationTest
from .proportion import success_interval as success_interval
from .summaries import Summaries as Summaries
from .summaries import summaries as summaries
