"""What a compressed file reveals of its model: where the bits go, to which distributions, and how well these fit.

::

    .tmix --> codec.unpack --> symbols --run over the schedule--> LatentStatistics --> page | figure | numbers
"""
