"""What figures and pages call the measures."""

from __future__ import annotations

NAMES = {
    "mean": "mean",
    "sd": "standard deviation",
    "mean_error": "squared error of the mean",
    "trace": "total variance tr Σ",
    "variance": "total variance of the samples",
    "gaussian_wasserstein2": "Wasserstein-2 distance (closed form)",
    "wasserstein1": "Wasserstein-1 distance",
    "wasserstein1_excess": "Wasserstein-1 excess",
    "wasserstein2": "Wasserstein-2 distance",
    "modes_covered": "modes covered",
    "good_share": "share of good samples",
    "mode_kl": "KL of the modes' shares (nats)",
    "modal_variance": "average modal variance",
    "fid": "FID",
    "fid_relative": "FID over the variance of real features",
    "fid_inception": "FID (Inception)",
    "spacing": "spacing of the images",
    "class_entropy": "entropy of the classes (nats)",
    "class_tv": "classes: total variation from real",
    "confidence": "mean confidence of the classifier",
    "effective_classes": "effective number of classes",
    "label_agreement": "share classified as asked",
    "parameter_distance": "distance of the weights from generation 1's",
    "parameter_distance_initial": "distance of the weights from their initial ones",
    "final_loss": "loss at the end of training",
    "precision": "precision",
    "recall": "recall",
    "forward_kl": "forward KL (nats)",
    "reverse_kl": "reverse KL (nats)",
    "forward_kl_likelihood": "forward KL by likelihoods (nats)",
    "reverse_kl_likelihood": "reverse KL by likelihoods (nats)",
    "jensen_shannon": "Jensen–Shannon divergence (nats)",
    "different_bins": "share of bins that differ",
    "vendi": "Vendi score",
    "upper_share": "share of power in the upper third of frequencies",
    "spectral_spike": "largest spike over the real spectrum",
    "block_lines": "lines at multiples of ⅛ over their neighbours",
    "loss": "loss",
    "generator_loss": "loss of the generator",
    "critic_loss": "loss of the critic",
    "log_likelihood": "log-likelihood of the training rows",
    "gradient_norm_generator": "norm of the generator's gradient",
    "gradient_norm_critic": "norm of the critic's gradient",
    "gradient_norm_noise": "norm of the gradient",
    "gradient_norm_velocity": "norm of the gradient",
    "gradient_norm_flow": "norm of the gradient",
}


def name_of(measure: str) -> str:
    """The name of a measure, or its key in words."""
    return NAMES.get(measure, measure.replace("_", " "))
