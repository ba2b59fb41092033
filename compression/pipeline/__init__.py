"""From a trained network to its variants and to sweeps of them, in stages that can be stopped and gone on with."""
