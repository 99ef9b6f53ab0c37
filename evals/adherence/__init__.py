"""Does a picture show what its prompt asks for: objects, counts, colours and places, questions, and image-text models.

`geneval` holds GenEval's rules over any detector, `questions` scores question graphs and VQAScore over any model that
answers questions, `clip` and `preference` hold the models that embed pictures and texts. Nothing here loads torch before
a scorer that needs it is made.
"""

from __future__ import annotations
