-- Return {identities, embeddings} of the gallery's own strangers; nils when it has none.
if not lineage then return unknown_gallery() end
return redis.call('HMGET', below .. 'cohort', 'identities', 'embeddings')
