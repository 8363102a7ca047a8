"""Embedding: rows of a table, looked up by integers, one by one or in bags; one-hot vectors."""

from xpnn.functional.embedding.bag import *
from xpnn.functional.embedding.one_hot import *
from xpnn.functional.embedding.table import *
