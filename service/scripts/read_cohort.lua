-- Return {identities, embeddings, calibration} of the gallery's own strangers; nils when it has
-- none, and no calibration where it was written before there were any.
if not lineage then return unknown_gallery() end
return redis.call('HMGET', below .. 'cohort', 'identities', 'embeddings', 'calibration')
