"""What GANs of images and of points have in common: their losses and steps, and every remedy for mode collapse.

    losses.py     what critic and generator minimise, as functions of the critic's outputs
    penalties.py  of the critic's gradients
    networks.py   the critic's layers: what looks at whole batches, several networks as one, spectral normalisation
    remedies.py   the options, each with its source
    game.py       a step of the critic and one of the generator, with whatever remedies the options name
    unrolled.py   the critic as it will be some steps later
    judging.py    what a critic says of images, and from where on it calls one real

Here rows lie along the dimension before those of one row: images are (n, c, h, w) and points of many replicates
(replicates, n, d); scores are (n,) or (replicates, n), and losses () or (replicates,).
"""
