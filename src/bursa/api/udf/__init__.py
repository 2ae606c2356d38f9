"""TradingView's UDF protocol over the same readers. Every answer below /udf has its form."""
