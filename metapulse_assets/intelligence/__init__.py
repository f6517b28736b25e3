"""What language models make of the figures: triggers, prompts, typed answers, the ensemble, and what it all costs."""
