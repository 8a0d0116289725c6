"""`make bench`: what Runnel costs, beside the model server alone and nginx alone in front of it."""
