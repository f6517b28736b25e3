"""What language models make of the numbers: questions, answers, and the analyses that two models' answers give together."""
