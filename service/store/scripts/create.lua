-- Make an empty gallery. ARGV: lineage, settings (JSON), model digest,
--       whether originals are kept ('' or 1).
if lineage then return refused('GALLERYEXISTS', 'a gallery of this name is there already') end

redis.call('HSET', root, 'lineage', ARGV[1], 'settings', ARGV[2], 'digest', ARGV[3],
  'created', now(), 'version', 0, 'hash', ARGV[1], 'identities', 0, 'samples', 0,
  'last_identity', 0, 'last_sample', 0)
if ARGV[4] ~= '' then redis.call('HSET', root, 'originals', redis.sha1hex(ARGV[1])) end
return redis.call('HGETALL', root)
