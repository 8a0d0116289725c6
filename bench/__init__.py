"""`make bench`: compares Runnel with the model server alone and with nginx in front of the model server."""
