"""The encoder: from a picture to the symbols of its file, better ones by spending time. Decoding takes as long as ever.

::

    picture, quality --> first choice: the nearest symbols, or ones chosen in one run over the schedule
       .------------------------------------------------------------------------------------------------.
       |  bits of the latents by the hyper-latents, gradient --> HyperLatentSearch --> hyper-latents --+ |
       |  distortion, its gradient (g_s backwards)         --+                                         v |
       |  bits of others that see a symbol, their gradient --+--> Choosing, in the coder's passes --> symbols
       `------------------------ best so far, by bits + lambda * distortion ----------------------------'

first_choice.py is where it begins; search.py is the search at one quality; targets.py looks for the quality that meets
a size or a PSNR; target_search.py makes files with both.
"""
