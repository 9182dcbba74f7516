-- Note how far the shadow is. ARGV: shadow; field, value, … of the migration hash.
if not lineage then return unknown_gallery() end
if shadow ~= ARGV[1] then
  return refused('MIGRATIONCONFLICT', 'the gallery has been switched, or its migration ended')
end
redis.call('HSET', migration, unpack(ARGV, 2))
