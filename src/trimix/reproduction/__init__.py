"""Whole tables of the papers: plan, training runs side by side, measurements, BD-rates.

::

    plan: a table of configs/ -> runs (recipe x seed)
      campaign: several processes at once; each resumes where it stood
        `-- run: Trainer -- after every stage --> rates on the sets of pictures -> KEY.json
              comparisons: KEY.json ... -> BD-rate of a variant against plain, by stage, set and seed
                `-- tables (Markdown), figures (SVG)
"""
