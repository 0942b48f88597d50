"""Clusters of engines that one entry of MOI["CONTEXTS"] describes: started, watched, scaled."""
