-- Let the lineage in force be the only one again. KEYS[2]: lineages that are still to be purged.
-- ARGV: the shadow, which is returned.
if not lineage then return unknown_gallery() end
if not shadow then return refused('UNKNOWNMIGRATION', 'the gallery has no migration') end
if shadow ~= ARGV[1] then
  return refused('MIGRATIONCONFLICT', 'the gallery has just been switched')
end

redis.call('SADD', KEYS[2], shadow)
redis.call('HDEL', root, 'shadow', 'shadow_settings', 'shadow_digest', 'shadow_width',
  'shadow_samples')
redis.call('UNLINK', migration)
return shadow
