-- Note that what this lineage had erased by a version is out of the append-only file.
-- ARGV: lineage, version.
if lineage == ARGV[1] then redis.call('HSET', root, 'rewritten', ARGV[2]) end
