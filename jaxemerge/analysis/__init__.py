"""From results to summaries, frame in, frame out: what populations look like, how they move with scale."""

from .breakthroughs import Survival as Survival
from .breakthroughs import breakthroughs as breakthroughs
from .breakthroughs import survival as survival
from .curves import curve_quantiles as curve_quantiles
from .curves import learning_curves as learning_curves
from .curves import representative_curves as representative_curves
from .density import density as density
from .distance import distances as distances
from .distance import two_sided_scale as two_sided_scale
from .final import final as final
from .final import final_scores as final_scores
from .histogram import histogram as histogram
from .labels import cell_labels as cell_labels
from .labels import forms_a_curve as forms_a_curve
from .labels import scale_column as scale_column
from .labels import scale_title as scale_title
from .mixture import Mixtures as Mixtures
from .mixture import mixtures as mixtures
from .rank import rank_curves as rank_curves
from .success import SuccessFit as SuccessFit
from .success import success_fit as success_fit
from .summary import summarise as summarise
from .two_sided import two_sided as two_sided
