# Rails' RedisCacheStore: its entries are marshalled, so it is given a coder.
require 'json'
require 'active_support'
require 'active_support/cache'
require 'active_support/cache/redis_cache_store'

path, key = ARGV

module Images
  def self.load(text)
    ActiveSupport::Cache::Entry.new(JSON.parse(text))
  end

  def self.dump(entry)
    JSON.generate(entry.value)
  end
end

def store(path, **options)
  ActiveSupport::Cache::RedisCacheStore.new(url: "unix://#{path}", error_handler: ->(**) {}, **options)
end

begin
  puts "default: #{store(path).read(key).inspect}"
rescue StandardError => e
  puts "default: #{e.class}"
end
value = store(path, coder: Images).read(key)
puts "#{value['name']} #{value['price'] + 1} #{value['at']}"
