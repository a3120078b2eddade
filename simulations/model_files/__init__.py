"""Trained models, and the ways to make few bytes of them: SuRP's files beside what one would use instead."""
