"""Encoder-side search: better symbols for one picture, by spending time. Every decoder reads them at the same cost.

::

    picture, quality --> symbols, nearest or chosen in one walk
       .-----------------------------------------------------------------------------------------------.
       |  bits of the latents by the hyper-latents, gradient --> HyperLatentSearch --> hyper-latents --+ |
       |  squared error, its gradient (g_s backwards)  --+                                             v |
       |  bits of others that see a symbol, gradient   --+--> ChoosingHand, in the coder's walk --> symbols
       `------------------------ best so far, by bits + lambda * squared error ------------------------'

first_symbols.py is where it begins; searching.py is the search at one quality; targets.py looks for the quality that
meets a size or a PSNR; encoding.py makes files with both.
"""
