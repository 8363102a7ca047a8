"""Distributions to draw from and to train, with the names and arguments of `torch.distributions`."""

from xpnn.distributions import constraints as constraints
from xpnn.distributions import transforms as transforms
from xpnn.distributions.constraint_registry import *
from xpnn.distributions.continuous_bernoulli import *
from xpnn.distributions.counts import *
from xpnn.distributions.discrete import *
from xpnn.distributions.distribution import *
from xpnn.distributions.exponential_family import *
from xpnn.distributions.gamma import *
from xpnn.distributions.independent import *
from xpnn.distributions.kl import *
from xpnn.distributions.location import *
from xpnn.distributions.low_rank import *
from xpnn.distributions.mixture import *
from xpnn.distributions.multivariate_normal import *
from xpnn.distributions.normal import *
from xpnn.distributions.positive import *
from xpnn.distributions.relaxed import *
from xpnn.distributions.transformed import *
from xpnn.distributions.transforms import *
from xpnn.distributions.uniform import *
from xpnn.distributions.von_mises import *
from xpnn.distributions.wishart import *
