"""One file per task: how the denoiser's answers become repairs, completions, matches."""
